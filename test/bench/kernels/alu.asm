; 32-bit registers: Marsaglia's xorshift32 and a checksum of rotations and carries. 16 instructions an iteration.
%include "kernel.inc"
KERNEL 10000000

kernel:
  mov ecx, edi
  mov eax, 2463534242
  xor edx, edx
  mov esi, 0x9E3779B9
.next:
  mov ebx, eax
  shl ebx, 13
  xor eax, ebx
  mov ebx, eax
  shr ebx, 17
  xor eax, ebx
  mov ebx, eax
  shl ebx, 5
  xor eax, ebx
  add edx, eax
  adc esi, 0
  lea ebx, [rdx + rsi * 4 + 7]
  rol esi, 7
  sub esi, ebx
  dec ecx
  jnz .next
  mov eax, edx
  shl rax, 32
  or rax, rsi
  ret
