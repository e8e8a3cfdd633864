// npm start: the notes example, in a process that stops when npm is stopped. A shell stands between npm and this process. It
// dies of the SIGTERM that npm passes on, and does not pass it on itself; `exec`, which would replace the shell, is unknown to
// cmd and PowerShell. On Windows there is no SIGTERM, and the id of the parent never changes.
const shell = process.ppid

setInterval(() => { if (process.ppid !== shell) process.kill(process.pid, 'SIGTERM') }, 200).unref()

await import('../examples/notes/main.ts')
