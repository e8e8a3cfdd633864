// npm start: the notes example, in a process that stops when npm is stopped. A shell runs between npm and this process. The SIGTERM that npm passes on kills
// the shell, which does not pass it on. `exec`, which would replace the shell, does not exist in cmd and PowerShell. On Windows there is no SIGTERM, and the id
// of the parent never changes.
const shell = process.ppid

setInterval(() => { if (process.ppid !== shell) process.kill(process.pid, 'SIGTERM') }, 200).unref()

await import('../examples/notes/main.ts')
