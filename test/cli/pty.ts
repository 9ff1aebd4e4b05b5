/** A program on a pseudo-terminal, driven by Python's pty module: Node has none. */
import { spawnSync } from 'node:child_process';

/**
 * Reads a plan as JSON from stdin, and prints what came of it. The program's standard input is a pipe that stays open,
 * its controlling terminal the pseudo-terminal.
 */
const DRIVER = `
import fcntl, json, os, pty, re, select, struct, sys, termios, time
plan = json.load(sys.stdin)
reader, writer = os.pipe()
pid, master = pty.fork()
if pid == 0:
    os.dup2(reader, 0)
    os.close(writer)
    os.environ['TERM'] = 'xterm'
    time.sleep(0.2)
    os.execvp(plan['command'][0], plan['command'])
os.close(reader)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', plan['rows'], plan['columns'], 0, 0))
before = termios.tcgetattr(master)
seen = b''
deadline = time.time() + 60
def take(wait):
    global seen
    if not select.select([master], [], [], wait)[0]:
        return True
    try:
        data = os.read(master, 65536)
    except OSError:
        return False
    seen += data
    return len(data) > 0
for step, value in plan['steps']:
    if step == 'feed':
        data = open(value, 'rb').read()
        while data:
            data = data[os.write(writer, data[:4096]):]
    elif step == 'type':
        os.write(master, value.encode())
    elif step == 'size':
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', value[1], value[0], 0, 0))
    elif step == 'until':
        mark = len(seen)
        while value.encode() not in seen[mark:]:
            if time.time() > deadline or not take(0.1):
                print(json.dumps({'missing': value, 'out': seen.decode('utf8', 'replace')}))
                sys.exit(0)
    elif step == 'unread':
        time.sleep(value)
    elif step == 'end':
        os.close(writer)
while time.time() < deadline and take(1):
    pass
_, status = os.waitpid(pid, 0)
code = os.waitstatus_to_exitcode(status)
print(json.dumps({'missing': None, 'out': seen.decode('utf8', 'replace'), 'code': code, 'restored': before == termios.tcgetattr(master)}))
`;

export type Step =
  /** The bytes of a file go into the program's standard input. */
  | readonly ['feed', string]
  | readonly ['type', string]
  | readonly ['size', readonly [columns: number, rows: number]]
  /** Reads the terminal until a text comes. */
  | readonly ['until', string]
  /** Seconds in which nobody reads the terminal. */
  | readonly ['unread', number]
  /** Closes the program's standard input. */
  | readonly ['end', null];

export interface Played {
  /** A text that was waited for in vain. */
  readonly missing: string | null;
  /** All that the terminal was sent. */
  readonly out: string;
  readonly code: number;
  /** Whether the terminal's modes are what they were. */
  readonly restored: boolean;
}

export const hasPython = spawnSync('python3', ['-c', 'import pty, termios']).status === 0;

export function play(command: readonly string[], columns: number, rows: number, steps: readonly Step[]): Played {
  const input = JSON.stringify({ command, columns, rows, steps });
  const { stdout, stderr } = spawnSync('python3', ['-c', DRIVER], { input, encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Played;
}
