// Runs every compiled test and fails where none ran: a test runner that finds nothing exits 0.
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { readdirSync } from 'node:fs';
