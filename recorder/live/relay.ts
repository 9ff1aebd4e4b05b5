/** Standard input of which a read waits inside the system, through a pipe that can be asked without waiting. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImportError } from '../import/errors.js';

export interface Relay {
  /** To be read without waiting. */
  readonly fd: number;
  /** What ended the input before its end, once it has ended; null where nothing did. */
  cut(): ImportError | null;
  close(): void;
}

const MOST_SAID = 1000;

const failed = (why: string): ImportError => new ImportError('READ_FAILED', 'standard input', why);

function makeFifo(path: string): void {
  const { error, status, stderr } = spawnSync('mkfifo', ['-m', '600', path], { encoding: 'utf8' });
  if (status !== 0) throw failed(`mkfifo: ${error?.message ?? reason(stderr)}`);
}

/** `cat: -: Input/output error`: the last part is the reason. */
const reason = (complaint: string): string => complaint.slice(complaint.lastIndexOf(': ') + 1).trim();

/**
 * A command that ends when the thread does that starts it, however that ends: prctl(2), PR_SET_PDEATHSIG. Where there is
 * no setpriv(1) of util-linux it is started as it is, and stays after a kill until its input moves or ends.
 */
function bound(command: string): readonly [string, readonly string[]] {
  const binding = ['--pdeathsig', 'KILL'];
  const { status } = spawnSync('setpriv', [...binding, 'true'], { stdio: 'ignore' });
  return status === 0 ? ['setpriv', [...binding, command]] : [command, []];
}

/**
 * Has cat(1) read standard input. A thread that waits inside the system for a socket, `trace_pipe` or a device hears
 * nothing, and nothing but the end of the process ends it; another process can be ended. Opening the same input again
 * so that it does not wait is no way: a socket cannot be opened, `trace_pipe` has one reader at a time (EBUSY since
 * Linux 6.6), a device starts anew.
 * cat is in a session of its own: an interrupt from the keyboard would take what it has read and not yet written.
 */
export function relayInput(): Relay {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-'));
  try {
    const path = join(folder, 'pipe');
    makeFifo(path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const target = openSync(path, 'w');
    const complaints = openSync(join(folder, 'complaints'), 'wx+', 0o600);
    const env = { ...process.env, LC_ALL: 'C' };
    const cut = (): ImportError | null => {
      const said = Buffer.alloc(MOST_SAID);
      const length = readSync(complaints, said, 0, MOST_SAID, 0);
      return length === 0 ? null : failed(reason(said.toString('utf8', 0, length)));
    };
    const [command, words] = bound('cat');
    const cat = spawn(command, words, { stdio: [0, target, complaints], detached: true, env });
    cat.on('error', () => {}); // told by its number, which it lacks
    cat.unref();
    closeSync(target);
    const close = (): void => {
      cat.kill('SIGKILL');
      closeSync(fd);
      closeSync(complaints);
    };
    if (cat.pid !== undefined) return { fd, cut, close };
    close();
    throw failed('there is no cat');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
