/** Owner and permissions of what replaces something else: those of what it replaces, as far as the system allows. */
import { chmodSync, chownSync, readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';

/** chown(2): root gives a file to anybody, others to a group that they are in, and what is not allowed stays as it is. */
export function giveTo(file: string, { uid, gid }: Stats): void {
  for (const owner of [uid, statSync(file).uid]) {
    try {
      chownSync(file, owner, gid);
      return;
    } catch {
      // the group alone then
    }
  }
}

/** Who may read and write the old one may so the new one, and what is in it. To enter a folder is to read it. */
export function keepAccess(old: string, fresh: string): void {
  const [from, to] = [statSync(old), statSync(fresh)];
  const bits = from.mode & 0o7777;
  const ofFolders = from.isDirectory() ? bits : bits | ((bits & 0o444) >> 2);
  const within = to.isDirectory() ? readdirSync(fresh, { recursive: true, withFileTypes: true }) : [];
  // what is in a folder comes after it: a folder that may not be entered is the last
  for (const entry of within.reverse()) {
    const path = join(entry.parentPath, entry.name);
    giveTo(path, from);
    chmodSync(path, entry.isDirectory() ? ofFolders : bits & 0o666);
  }
  giveTo(fresh, from);
  chmodSync(fresh, to.isDirectory() ? ofFolders : from.isDirectory() ? bits & 0o666 : bits);
}
