; Tries VMRUN: each case writes fields of a VMCB that VMRUN accepts, runs it, and prints whether it was invalid.
; `base.inc` and `cases.inc` are made from ../oracle.ts.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"

EFER equ 0xC0000080
EFER_SVME equ 1 << 12
VM_HSAVE_PA equ 0xC0010117
END equ 0xFFFFFFFF

VMCB_EXIT_CODE equ 0x70
VMCB_IOPM equ 0x40
VMCB_MSRPM equ 0x48
VMCB_NESTED_CR3 equ 0xB0
VMCB_CR3 equ 0x550
VMCB_RIP equ 0x578

main:
  mov ecx, EFER
  rdmsr
  or eax, EFER_SVME
  wrmsr
  mov ecx, VM_HSAVE_PA
  mov eax, host_save
  xor edx, edx
  wrmsr
  mov rsi, cases
next_case:
  cmp byte [rsi], 0
  je done
  call put_text
.name:
  lodsb
  test al, al
  jnz .name
  mov [case], rsi
  mov edi, vmcb
  xor eax, eax
  mov ecx, 512
  rep stosq
  mov rsi, base
  call assign
  mov qword [vmcb + VMCB_IOPM], permissions
  mov qword [vmcb + VMCB_MSRPM], permissions
  mov rax, cr3
  mov [vmcb + VMCB_CR3], rax
  mov [vmcb + VMCB_NESTED_CR3], rax
  mov qword [vmcb + VMCB_RIP], guest
  mov rsi, [case]
  call assign
  mov [case], rsi
  mov eax, vmcb
  vmrun
  mov rsi, invalid
  cmp qword [vmcb + VMCB_EXIT_CODE], -1
  je .ended
  mov rsi, entered
.ended:
  call put_text
  mov rsi, [case]
  jmp next_case
done:
  xor eax, eax
  jmp exit

; rsi: assignments (offset, bytes, value), and after END the next thing.
assign:
  mov edi, [rsi]
  mov ecx, [rsi + 4]
  add rsi, 8
  cmp edi, END
  je .done
  add edi, vmcb
  lea rbx, [rsi + 8]
  rep movsb
  mov rsi, rbx
  jmp assign
.done:
  ret

; Whatever the guest is, its first instruction or what becomes of it is intercepted.
guest:
  vmmcall
  jmp guest

section .data
  align 16
entered: db " entered", 10, 0
invalid: db " VMEXIT_INVALID", 10, 0
; CASE "name" ... SET_FIELD offset, bytes, value ... END_CASE
%macro CASE 1
  db %1, 0
%endmacro
%macro SET_FIELD 3
  dd %1, %2
  dq %3
%endmacro
%macro END_CASE 0
  dd END, 0
%endmacro
base:
%include "base.inc"
  END_CASE
cases:
%include "cases.inc"
  db 0
section .bss
  alignb 4096
vmcb: resb 4096
host_save: resb 4096
permissions: resb 0x3000
case: resq 1
