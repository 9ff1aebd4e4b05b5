; Self-modifying code: every iteration rewrites an opcode and an immediate, then runs them; data lies in the same page.
; 13 instructions an iteration.
%include "kernel.inc"
KERNEL 300000

%ifdef NATIVE
section .modified progbits alloc exec write align=4096
%endif

kernel:
  mov ecx, edi
  mov rsi, .patched
  mov rdi, opcodes
  xor ebx, ebx
  mov eax, 1
.next:
  mov edx, ebx
  and edx, 3
  mov dl, [rdi + rdx]
  mov [rsi], dl
  lea edx, [rax + rcx]
  mov [rsi + 1], edx
  jmp .patched
.patched:
  add eax, 0x11111111
  rol eax, 3
  inc ebx
  add [counter], eax
  dec ecx
  jnz .next
  mov ecx, [counter]
  shl rcx, 32
  or rax, rcx
  ret
opcodes: db 0x05, 0x2D, 0x35, 0x05      ; ADD, SUB, XOR, ADD with EAX
  align 4
counter: dd 0
