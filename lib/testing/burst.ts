import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { Client } from './client.ts'
import { gate } from './gate.ts'
import type { Lockstep } from './lockstep.ts'
import type { Burst } from './plan.ts'
import type { SentRequest } from './sent-request.ts'
import { within } from './timeout.ts'

/** After how many milliseconds the others stop waiting for a request. The application may never answer it alone. */
const PATIENCE = 100

/**
 * Sends the requests of a burst at its pace, and waits until all are answered.
 *
 * @param lockstep stops the requests of a burst in the server
 */
export async function sendBurst (burst: Burst, client: Client, lockstep: (requests: readonly SentRequest[]) => Lockstep): Promise<void> {
  await client.warm()
  await { together: sendTogether, gated: sendGated, staggered: sendStaggered, lockstep: sendInLockstep }[burst.pace](burst, client, lockstep)
}

async function sendTogether ({ requests }: Burst, client: Client): Promise<void> {
  await Promise.all(requests.map((sent) => client.send(sent)))
}

async function sendGated ({ requests, release, oneByOne }: Burst, client: Client): Promise<void> {
  const gates = new Map(requests.map((sent) => [sent, gate()]))
  const answers = new Map(requests.map((sent) => [sent, client.send(sent, gates.get(sent)!.promise)]))
  await soon(Promise.all(requests.map(({ arrived }) => arrived)))
  for (const sent of release) {
    gates.get(sent)!.open()
    await (oneByOne ? soon(answers.get(sent)!) : turn())
  }
  await Promise.all(answers.values())
}

async function sendStaggered ({ requests }: Burst, client: Client): Promise<void> {
  const answers: Array<Promise<void>> = []
  for (const sent of requests) {
    answers.push(client.send(sent, waitAndArrive(sent)))
    await soon(sent.arrived)
    await delay(sent.wait)
  }
  await Promise.all(answers)
}

async function waitAndArrive ({ arrived, wait }: SentRequest): Promise<void> {
  await soon(arrived)
  await delay(wait)
}

async function sendInLockstep ({ requests, release, steps }: Burst, client: Client, lockstep: (requests: readonly SentRequest[]) => Lockstep): Promise<void> {
  const stops = lockstep(requests)
  try {
    const answers = requests.map((sent) => client.send(sent))
    for (const barrier of [stops.arrivals, stops.handlers]) {
      await soon(barrier.full)
      await barrier.open(release, steps)
    }
    await Promise.all(answers)
  } finally {
    stops.stop()
  }
}

/** Waits for a promise, up to a limit. */
async function soon (promise: Promise<unknown>): Promise<void> {
  await within(PATIENCE, (done) => {
    promise.then(done)
    return () => {}
  })
}
