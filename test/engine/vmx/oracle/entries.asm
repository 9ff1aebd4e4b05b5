; Tries VM entries: each case writes fields of a VMCS that a VM entry accepts, launches it, and prints how that ended.
; `cases.inc`, `pairs.inc` (two faults at once) and `memory.inc` (MSR areas, a linked VMCS, PDPTEs) are made from
; vectors/checks.txt (oracle.ts), `newer.inc` and the sweeps of single bits for a
; processor with newer features, which then says first what it has; another implementation of the manual runs the same
; images.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"
%include "lib/interrupts.inc"
%include "lib/vmx.inc"

TIMER_EXITS equ 1 << 6          ; pin-based: VMX-preemption timer, so that no guest runs for ever
HOST_FS_BASE equ 0x6C06
HOST_GS_BASE equ 0x6C08
LAST_VMX_MSR equ 0x493
END equ 0xFFFFFFFF
OR_BITS equ 1
CLEAR_BITS equ 2
STORE equ 3                     ; a word of memory, at an address in place of a field
STORE_REVISION equ 4            ; one that differs so from the VMCS revision identifier
; Memory that cases write: a VMCS that may be linked, and pages.
PLACES equ 0x3000
PLACES_END equ 0x8000

main:
  call vmx_start
%ifdef NEWER
  call say_processor
%endif
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
  vmclear [vmcs_pointer]
  vmptrld [vmcs_pointer]
  jbe vmx_failed
  call fill
%ifdef MEMORY
  mov edi, PLACES
  mov ecx, (PLACES_END - PLACES) / 8
  xor eax, eax
  rep stosq
  call revision
  mov edi, PLACES
  mov [rdi], eax
%endif
  mov rsi, [case]
.assign:
  mov edx, [rsi]
  cmp edx, END
  je .launch
  mov rax, [rsi + 8]
  mov ecx, [rsi + 4]
%ifdef MEMORY
  cmp ecx, STORE
  je .store
  cmp ecx, STORE_REVISION
  je .store_revision
%endif
  test ecx, ecx
  jz .write
  vmread rbx, rdx
  jbe unsupported
  cmp ecx, OR_BITS
  jne .clear
  or rax, rbx
  jmp .write
.clear:
  not rax
  and rax, rbx
.write:
  vmwrite rdx, rax
  jbe unsupported
  add rsi, 16
  jmp .assign
%ifdef MEMORY
.store_revision:
  mov r8d, edx
  mov r9d, eax
  call revision
  xor eax, r9d
  mov edx, r8d
.store:
  mov [rdx], eax
  add rsi, 16
  jmp .assign
%endif
.launch:
  vmlaunch
  jc invalid
  PRINT " error "
  GET rax, VM_INSTRUCTION_ERROR
  call put_decimal
  jmp case_done
invalid:
  PRINT " VMfailInvalid"
  jmp case_done
unsupported:
  PRINT " no such field"
  jmp case_done

; HOST_RIP. An entry that went well ended with whatever exit came first.
vm_exit:
  mov eax, DATA_SELECTOR
  mov ds, eax
  mov es, eax
  mov ss, eax
  GET rax, EXIT_REASON
  bt eax, 31
  jc .failed
  PRINT " entered"
  jmp case_done
.failed:
  PRINT " exit "
  movzx eax, ax
  call put_decimal
  PRINT ":"
  GET rax, EXIT_QUALIFICATION
  call put_decimal
case_done:
  PRINT 10
  mov rsi, [case]
.skip:
  cmp dword [rsi], END
  lea rsi, [rsi + 16]
  jne .skip
  jmp next_case
done:
  xor eax, eax
  jmp exit

%ifdef NEWER
; A line `processor` with the capability MSRs, 480H and up, and leaf 7 of CPUID: EBX and ECX of sub-leaf 0, EAX of 1.
say_processor:
  PRINT "processor"
  mov r8d, IA32_VMX_BASIC
.msr:
  mov ecx, r8d
  rdmsr
  shl rdx, 32
  or rax, rdx
  call say_hex
  inc r8d
  cmp r8d, LAST_VMX_MSR
  jbe .msr
  mov eax, 7
  xor ecx, ecx
  cpuid
  mov r8d, ecx
  mov eax, ebx
  call say_hex
  mov eax, r8d
  call say_hex
  mov eax, 7
  mov ecx, 1
  cpuid
  mov eax, eax
  call say_hex
  PRINT 10
  ret
say_hex:
  push rax
  PRINT " "
  pop rax
  jmp put_hex
%endif

%ifdef MEMORY
; eax: the VMCS revision identifier.
revision:
  mov ecx, IA32_VMX_BASIC
  rdmsr
  and eax, 0x7FFFFFFF
  ret
%endif

; Every field that a case may touch gets its value; fields that the processor lacks are left.
fill:
  mov r10d, [control_msrs]
  CONTROLS PIN_CONTROLS, r10d, TIMER_EXITS
  lea ecx, [r10d + 1]
  CONTROLS PROCESSOR_CONTROLS, ecx, 1 << 31
  lea ecx, [r10d + 2]
  CONTROLS EXIT_CONTROLS, ecx, 1 << 9
  lea ecx, [r10d + 3]
  CONTROLS ENTRY_CONTROLS, ecx, 1 << 9
  mov rsi, base
.next:
  mov edx, [rsi]
  cmp edx, END
  je .rest
  mov rax, [rsi + 8]
  vmwrite rdx, rax
  add rsi, 16
  jmp .next
.rest:
  mov rax, cr0
  PUT HOST_CR0, rax
  mov rax, cr3
  PUT HOST_CR3, rax
  mov rax, cr4
  PUT HOST_CR4, rax
  ret

section .data
  align 16
; CASE "name" ... SET_FIELD encoding, operation, value ... END_CASE
%macro CASE 1
  db %1, 0
%endmacro
%macro SET_FIELD 3
  dd %1, %2
  dq %3
%endmacro
%macro END_CASE 0
  dd END, 0
  dq 0
%endmacro
base:
%include "base.inc"
  SET_FIELD HOST_SELECTORS + 0, 0, DATA_SELECTOR
  SET_FIELD HOST_SELECTORS + 2, 0, CODE64
  SET_FIELD HOST_SELECTORS + 4, 0, DATA_SELECTOR
  SET_FIELD HOST_SELECTORS + 6, 0, DATA_SELECTOR
  SET_FIELD HOST_SELECTORS + 8, 0, DATA_SELECTOR
  SET_FIELD HOST_SELECTORS + 10, 0, DATA_SELECTOR
  SET_FIELD HOST_SELECTORS + 12, 0, TSS_SELECTOR
  SET_FIELD HOST_FS_BASE, 0, 0
  SET_FIELD HOST_GS_BASE, 0, 0
  SET_FIELD HOST_TR_BASE, 0, tss
  SET_FIELD HOST_GDTR_BASE, 0, gdt
  SET_FIELD HOST_IDTR_BASE, 0, idt
  SET_FIELD HOST_RSP, 0, stack_top
  SET_FIELD HOST_RIP, 0, vm_exit
  END_CASE
cases:
%ifdef PAIRS
%include "pairs.inc"
%elifdef MEMORY
%include "memory.inc"
%elifdef SEGMENTS_SWEEP
%include "segments.inc"
%elifdef CONTROLS_SWEEP
%include "controls.inc"
%elifdef INJECTION_SWEEP
%include "injection.inc"
%elifdef LOADED_SWEEP
%include "loaded.inc"
%elifdef REGISTERS_SWEEP
%include "registers.inc"
%elifdef NEWER
%include "newer.inc"
%else
%include "cases.inc"
%endif
  db 0

section .bss
  alignb 4096
empty_page: resb 4096           ; an EPT without a mapping
tss: resb 104
  alignb 8
case: resq 1
section .text
