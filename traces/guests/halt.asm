; Stops for good: HLT with interrupts off.
%include "lib/boot.inc"

main:
  cli
  hlt
  jmp main
