; REP STOSD, MOVSD, MOVSB, CMPSB and SCASB over 4 KiB. 11264 iterations of REP in one of the kernel.
%include "kernel.inc"
KERNEL 5000

BYTES equ 4096

kernel:
  mov r8, rdi
  xor edx, edx
.next:
  mov rdi, one
  lea eax, [r8 * 8 + r8]
  mov ecx, BYTES / 4
  rep stosd
  mov rsi, one
  mov rdi, two
  mov ecx, BYTES / 4
  rep movsd
  mov [two + BYTES - 1], r8b
  mov rsi, two + 3              ; not aligned
  mov rdi, one
  mov ecx, BYTES - 3
  rep movsb
  mov rsi, one
  mov rdi, two + 3
  mov ecx, BYTES - 3
  repe cmpsb                    ; all alike
  sete bl
  mov rdi, one
  mov al, r8b
  not al
  mov ecx, BYTES / 4
  repne scasb
  rol rdx, 7
  movzx ebx, bl
  add rdx, rbx
  add rdx, rcx
  xor rdx, [one + BYTES - 16]
  dec r8
  jnz .next
  mov rax, rdx
  ret

section .bss
  alignb 4096
one: resb BYTES
two: resb BYTES
