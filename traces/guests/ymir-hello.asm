; Talks to the monitor `ymir`: VMCALL with the service number in RAX. No service writes a register, whatever its number
; and whatever the ring that asks.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"
%include "lib/interrupts.inc"
%include "lib/ring3.inc"

PARAM hello, 1                  ; greetings from ring 0
PARAM number, 7                 ; a number that no service has
PARAM calls, 2                  ; how often, in each ring

HELLO equ 0

main:
  call ring3_init
  mov r15, [param.hello]
  jmp .greeted
.greet:
  mov ecx, HELLO
  call service
  dec r15
.greeted:
  test r15, r15
  jnz .greet

  mov rcx, [param.number]
  call services
  PRINT "ring 0 done", 10

  mov rdi, user
  call ring3_run
  PRINT "ring 3 done", 10
  mov eax, [wrong]
  test eax, eax
  jz .right
  PRINT "registers changed: "
  call put_decimal
  PRINT 10
  mov eax, 1
  jmp exit
.right:
  PRINT "registers kept", 10
  jmp exit

; In ring 3: the greeting once, then the unknown number.
user:
  mov ecx, HELLO
  call service
  mov rcx, [param.number]
  call services
  jmp ring3_end

; rcx: a service's number. Asks param.calls times.
services:
  mov r15, [param.calls]
  jmp .test
.next:
  push rcx
  call service
  pop rcx
  dec r15
.test:
  test r15, r15
  jnz .next
  ret

; rcx: a service's number. Adds to `wrong` the registers, RFLAGS and RSP among them, that VMCALL changed.
; Clobbers all but rsp and r15.
service:
  push r15
  mov [given], rcx              ; RAX
  mov [stack], rsp
  push qword [given + 15 * 8]
  popfq
  mov rsp, given
  pop rax
  pop rcx
  pop rdx
  pop rbx
  pop rbp
  pop rsi
  pop rdi
  pop r8
  pop r9
  pop r10
  pop r11
  pop r12
  pop r13
  pop r14
  pop r15
  vmcall
  mov [found + 16 * 8], rsp
  mov rsp, found + 16 * 8
  pushfq
  push r15
  push r14
  push r13
  push r12
  push r11
  push r10
  push r9
  push r8
  push rdi
  push rsi
  push rbp
  push rbx
  push rdx
  push rcx
  push rax
  mov rsp, [stack]
  cld
  mov rsi, given
  mov rdi, found
  mov ecx, 17
.compare:
  cmpsq
  je .same
  inc dword [wrong]
.same:
  dec ecx
  jnz .compare
  pop r15
  ret

section .data
  align 8
; RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8 to R15, RFLAGS, RSP: no two halves alike
given:
  dq 0
%assign i 1
%rep 14
  dq 0xA5C3_0000_5A3C_0000 + i * 0x0101_0000_0010
  %assign i i + 1
%endrep
  dq 0x8D7                      ; OF, SF, ZF, AF, PF, CF and the bit that is always 1
  dq given + 15 * 8
section .bss
  alignb 8
found: resq 17
stack: resq 1
wrong: resd 1
section .text
