; CRC-32 of a kilobyte by table, then of 64 of its bytes bit by bit with a branch a bit. Every result goes into the next
; iteration.
%include "kernel.inc"
KERNEL 15000

POLYNOMIAL equ 0xEDB88320

kernel:
  mov r8, rdi
  mov rsi, table
  xor ebx, ebx
.entry:
  mov eax, ebx
  mov ecx, 8
.entry_bit:
  shr eax, 1
  jnc .entry_even
  xor eax, POLYNOMIAL
.entry_even:
  dec ecx
  jnz .entry_bit
  mov [rsi + rbx * 4], eax
  inc ebx
  cmp ebx, 256
  jb .entry

  mov rdi, message
  xor ebx, ebx
.byte:
  mov [rdi + rbx], bl
  inc ebx
  cmp ebx, 1024
  jb .byte

  mov eax, -1
.next:
  xor ebx, ebx
.by_table:
  movzx edx, byte [rdi + rbx]
  movzx ecx, al
  xor edx, ecx
  shr eax, 8
  xor eax, [rsi + rdx * 4]
  inc ebx
  cmp ebx, 1024
  jb .by_table

  xor ebx, ebx
.by_bit:
  movzx edx, byte [rdi + rbx]
  xor eax, edx
  mov ecx, 8
.bit:
  shr eax, 1
  jnc .even
  xor eax, POLYNOMIAL
.even:
  dec ecx
  jnz .bit
  inc ebx
  cmp ebx, 64
  jb .by_bit
  mov ecx, eax
  and ecx, 1023
  xor [rdi + rcx], al
  dec r8
  jnz .next
  ret

section .bss
  alignb 4096
table: resd 256
message: resb 1024
