; Triple fault: an exception with an empty interrupt descriptor table shuts the processor down.
%include "lib/boot.inc"

main:
  lidt [no_table]
  ud2

section .data
no_table: dw 0
  dd 0
