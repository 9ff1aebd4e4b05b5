; Eratosthenes over the numbers below a million, a byte each. The checksum is the number of primes, 78498, summed over the
; iterations.
%include "kernel.inc"
KERNEL 10

LIMIT equ 1000000

kernel:
  mov r8, rdi
  mov rsi, composite
  xor r9d, r9d
.round:
  mov rdi, rsi
  mov ecx, LIMIT / 8
  xor eax, eax
  rep stosq
  mov ebx, 2
.candidate:
  cmp byte [rsi + rbx], 0
  jne .next
  inc r9
  mov rcx, rbx
  imul rcx, rbx
  cmp rcx, LIMIT
  jae .next
.cross:
  mov byte [rsi + rcx], 1
  add rcx, rbx
  cmp rcx, LIMIT
  jb .cross
.next:
  inc ebx
  cmp ebx, LIMIT
  jb .candidate
  dec r8
  jnz .round
  mov rax, r9
  ret

section .bss
  alignb 4096
composite: resb LIMIT
