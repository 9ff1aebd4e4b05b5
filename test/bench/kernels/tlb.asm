; Reads and writes in 8192 pages of 4 KiB, in pseudo-random order: each step wants another translation. 11 instructions an
; iteration.
%define SMALL_PAGES
%include "kernel.inc"
KERNEL 5000000

PAGES equ 8192

kernel:
  mov rsi, small_pages
  xor ebx, ebx
.fill:
  mov [rsi], rbx
  add rsi, 4096
  inc ebx
  cmp ebx, PAGES
  jb .fill

  mov rsi, small_pages
  mov eax, 1
  xor edx, edx
.next:
  imul eax, eax, 1664525
  add eax, 1013904223
  mov ebx, eax
  shr ebx, 32 - 13
  shl ebx, 12
  rol rdx, 3
  add rdx, [rsi + rbx]
  lea ecx, [rdx + rax]
  mov [rsi + rbx], ecx
  dec rdi
  jnz .next
  mov rax, rdx
  ret
