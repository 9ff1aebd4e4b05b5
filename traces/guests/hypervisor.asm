; A small hypervisor on Intel VMX and EPT. Its guest causes each kind of exit as often as the command line says, so that
; every count is known by arithmetic; at the end the hypervisor prints what it counted.
; `fail=NAME` first tries a VM entry that must fail, and prints how it failed; `fail=all` tries each of them.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"
%include "lib/interrupts.inc"
%include "lib/vmx.inc"

PARAM cpuid, 10
PARAM out, 9
PARAM in, 8
PARAM rdmsr, 7
PARAM wrmsr, 6
PARAM vmcall, 5
PARAM cr0, 4
PARAM cr3, 3
PARAM cr4, 2
PARAM ept, 12
PARAM mmio, 11
PARAM ud, 3
PARAM invlpg, 2
PARAM rdtsc, 4
PARAM hlt, 5
PARAM timer, 3
PARAM window, 2
PARAM loop, 0
PARAM fail, 0

CR0_NE equ 1 << 5
CR0_WP equ 1 << 16
CR4_DE equ 1 << 3
CR4_VMXE equ 1 << 13
RFLAGS_IF equ 1 << 9

; Port and MSRs that the bitmaps intercept.
DEVICE_PORT equ 0x80
MSR_LOW equ 0x174               ; IA32_SYSENTER_CS
MSR_HIGH equ 0xC0000082         ; IA32_LSTAR

; Guest-physical addresses above all RAM: 512 pages that the hypervisor maps when they are touched, and a device's
; register that it emulates.
EPT_REGION equ 1 << 30
MMIO_REGISTER equ EPT_REGION + (2 << 20)

; What the guest asks of the hypervisor by VMCALL, in ebx.
SERVICE_COUNT equ 0
SERVICE_LOOP_BEGINS equ 1
SERVICE_LOOP_ENDS equ 2
SERVICE_DONE equ 3
SERVICE_WRONG equ 4             ; r9: line of the check that failed

main:
  call timer_and_interrupts
  call vmx_start
  call ept_build
  call vmcs_fill
  cmp qword [param.fail], 0
  jne entry_that_fails
launch:
  vmlaunch
  jmp vmx_failed

timer_and_interrupts:
  mov al, 0x30                  ; the timer waits for a count: no tick left over from the firmware
  out 0x43, al
  call pic_init
  mov al, ~1 & 0xFF
  out PIC1 + 1, al
  SET_GATE IRQ_BASE, guest_on_timer
  lidt [idtr]
  ret

%include "hypervisor/vmcs.inc"
%include "hypervisor/exits.inc"
%include "hypervisor/failures.inc"
%include "hypervisor/guest.inc"
