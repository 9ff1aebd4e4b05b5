; Reads and writes of 8, 32 and 64 bits at pseudo-random places of a 64 KiB table. 15 instructions an iteration.
%include "kernel.inc"
KERNEL 10000000

BYTES equ 65536

kernel:
  push rdi
  mov rdi, table
  mov ecx, BYTES / 8
  xor eax, eax
  rep stosq
  pop rdi
  mov rsi, table
  mov eax, 1
  xor edx, edx
.next:
  imul eax, eax, 1664525        ; the generator of Numerical Recipes
  add eax, 1013904223
  mov ebx, eax
  shr ebx, 16                   ; 0..65535
  movzx ecx, byte [rsi + rbx]
  add edx, ecx
  and ebx, BYTES - 8
  mov ecx, [rsi + rbx]
  add rcx, rdx
  mov [rsi + rbx], rcx
  add [rsi + rbx + 4], eax
  xor rdx, [rsi + rbx]
  mov [rsi + rbx + 7], dl
  dec edi
  jnz .next
  mov rax, rdx
  ret

section .bss
  alignb 4096
table: resb BYTES
