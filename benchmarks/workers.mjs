// The processes that are measured, as this one talks to them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('worker.mjs', import.meta.url))

/**
 * Starts the process of one variant.
 *
 * @param node the path of a Node
 * @param around a command and its options that it is to run under
 */
export async function startWorker (node, question, variant, around = []) {
  const { NODE_OPTIONS, ...env } = process.env
  const [command, ...args] = [...around, node, ...(question.flags ?? []), SCRIPT, question.name, variant]
  const child = spawn(command, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const { cases } = await answerOf(child, `${question.name}, ${variant}`)
  const ask = (message) => {
    child.send(message)
    return answerOf(child, `${question.name}, ${variant}, ${message.run}`)
  }
  return {
    cases,
    pid: child.pid,
    /** Runs a case so often that it is compiled. */
    async warmUp (run, count) {
      await ask({ run, count, warmUp: true })
    },
    /** What one of so many cost. */
    async measure (run, count) {
      const { figure } = await ask({ run, count })
      return figure
    },
    async stop () {
      child.disconnect()
      await once(child, 'exit')
    }
  }
}

function answerOf (child, what) {
  return new Promise((resolve, reject) => {
    const exited = (status) => { reject(new Error(`${what}: ended with ${status}`)) }
    child.once('exit', exited)
    child.once('message', (message) => {
      child.off('exit', exited)
      resolve(message)
    })
  })
}
