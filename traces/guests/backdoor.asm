; Talks to the monitor `vmware` through the Backdoor, all of it from ring 3 with IOPL 0 and an I/O permission bitmap that
; denies its ports: the monitor lets the guest through, any other port is #GP. Prints one line a check; the exit code is 1
; if one of them says `wrong`.
%define LONG_MODE
%include "lib/boot.inc"
%include "lib/console.inc"
%include "lib/interrupts.inc"
%include "lib/ring3.inc"

PARAM value, 'trapline'         ; what guestinfo.x is set to, and must be got again: up to eight characters
PARAM hb, 0                     ; 1: message bodies by REP OUTSB and REP INSB on the high-bandwidth port
PARAM tclo, 2                   ; messages that come from the host
PARAM polls, 2000               ; how often to ask for one in vain before giving up

main:
  call ring3_init
  mov rdi, user
  call ring3_run
  mov eax, [wrong]
  jmp exit

; VERDICT condition of the flags, text: prints the text with `ok` or `wrong`. Keeps every register.
%macro VERDICT 2
  PRINT_KEEPING_FLAGS %2
  set%1 [verdict]
  call print_verdict
%endmacro
%macro PRINT_KEEPING_FLAGS 1
  pushfq
  PRINT %1, " "
  popfq
%endmacro

user:
  call commands
  call rpci
  mov rax, [param.tclo]
  test rax, rax
  jz .done
  call tclo
.done:
  jmp ring3_end

print_verdict:
  cmp byte [verdict], 0
  je .wrong
  PRINT "ok", 10
  ret
.wrong:
  mov dword [wrong], 1
  PRINT "wrong", 10
  ret

%include "backdoor/port.inc"
%include "backdoor/channel.inc"
%include "backdoor/conversations.inc"

section .bss
  alignb 4
wrong: resd 1
verdict: resb 1
section .text
