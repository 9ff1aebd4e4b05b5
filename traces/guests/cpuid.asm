; The smallest 64-bit guest: `n` times CPUID and OUT to the debug console, then one line and the end.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"

PARAM n, 10

main:
  mov r8, [param.n]
  test r8, r8
  jz .done
.next:
  xor eax, eax
  cpuid
  mov al, bl                    ; the first letter of the vendor's name
  out 0xE9, al
  dec r8
  jnz .next
.done:
  PRINT "cpuid done", 10
  xor eax, eax
  jmp exit
