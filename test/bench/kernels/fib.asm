; Call and return: the Fibonacci number of n by its definition; the checksum is 832040 for n = 30.
%include "kernel.inc"
KERNEL 30

kernel:
fib:
  cmp edi, 2
  jb .itself
  push rbx
  mov ebx, edi
  lea edi, [rbx - 1]
  call fib
  lea edi, [rbx - 2]
  mov rbx, rax
  call fib
  add rax, rbx
  pop rbx
  ret
.itself:
  mov eax, edi
  ret
