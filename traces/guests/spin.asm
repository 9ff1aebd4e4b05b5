; Runs for ever: only a budget of ticks ends it.
%include "lib/boot.inc"

main:
  jmp main
