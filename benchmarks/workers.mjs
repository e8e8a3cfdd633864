// The measured processes, as seen from this one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Enough that at least one runs while no tick is alive in any process. With four, one process in three had none. */
const COLLECTIONS = 16

const SCRIPT = fileURLToPath(new URL('worker.mjs', import.meta.url))

/**
 * Starts the process of one variant.
 *
 * @param node the path of a Node binary
 * @param around a command with options that runs the process
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
    /** Runs a case until it is compiled, with this many garbage collections. */
    async warmUp (run, count, collections = COLLECTIONS) {
      await ask({ run, count, collections })
    },
    /** Runs a case this many times, and returns the cost of one. */
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
