; Faults for ever: the handler of #UD returns to the instruction that caused it. No fault is double, only a budget of ticks
; ends it.
%include "lib/boot.inc"
%include "lib/interrupts.inc"

main:
  SET_GATE 6, on_invalid_opcode
  lidt [idtr]
  ud2

on_invalid_opcode:
  iretd
