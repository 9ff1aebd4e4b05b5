; 64-bit registers: splitmix64 with its two multiplications, and a checksum. 16 instructions an iteration.
%include "kernel.inc"
KERNEL 10000000

kernel:
  mov rcx, rdi
  mov rsi, 0x9E3779B97F4A7C15
  mov r8, 0xBF58476D1CE4E5B9
  mov r9, 0x94D049BB133111EB
  xor edx, edx
  xor eax, eax
.next:
  add rax, rsi
  mov rbx, rax
  shr rbx, 30
  xor rbx, rax
  imul rbx, r8
  mov r10, rbx
  shr r10, 27
  xor rbx, r10
  imul rbx, r9
  mov r10, rbx
  shr r10, 31
  xor rbx, r10
  rol rdx, 5
  xor rdx, rbx
  dec rcx
  jnz .next
  mov rax, rdx
  ret
