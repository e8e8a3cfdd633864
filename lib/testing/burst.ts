import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { Client } from './client.ts'
import type { Lockstep } from './lockstep.ts'
import type { Burst } from './plan.ts'
import type { Shot } from './sent-request.ts'
import { within } from './timeout.ts'

/** Milliseconds after which a request is no longer waited for by the others: the application may never answer it alone. */
const PATIENCE = 100

/**
 * Fires the requests of a burst at its pace, and waits until all are answered.
 *
 * @param lockstep stops the requests of a burst in the server
 */
export async function fire (burst: Burst, client: Client, lockstep: (shots: readonly Shot[]) => Lockstep): Promise<void> {
  await client.warm()
  await { together: fireTogether, gated: fireGated, staggered: fireStaggered, lockstep: fireInLockstep }[burst.pace](burst, client, lockstep)
}

async function fireTogether ({ shots }: Burst, client: Client): Promise<void> {
  await Promise.all(shots.map((shot) => client.send(shot)))
}

async function fireGated ({ shots, release, oneByOne }: Burst, client: Client): Promise<void> {
  const gates = new Map(shots.map((shot) => [shot, openable()]))
  const answers = new Map(shots.map((shot) => [shot, client.send(shot, gates.get(shot)!.opened)]))
  await soon(Promise.all(shots.map(({ arrived }) => arrived)))
  for (const shot of release) {
    gates.get(shot)!.open()
    await (oneByOne ? soon(answers.get(shot)!) : turn())
  }
  await Promise.all(answers.values())
}

async function fireStaggered ({ shots }: Burst, client: Client): Promise<void> {
  const answers: Array<Promise<void>> = []
  for (const shot of shots) {
    answers.push(client.send(shot, waitAndArrive(shot)))
    await soon(shot.arrived)
    await delay(shot.wait)
  }
  await Promise.all(answers)
}

async function waitAndArrive ({ arrived, wait }: Shot): Promise<void> {
  await soon(arrived)
  await delay(wait)
}

async function fireInLockstep ({ shots, release, steps }: Burst, client: Client, lockstep: (shots: readonly Shot[]) => Lockstep): Promise<void> {
  const stops = lockstep(shots)
  try {
    const answers = shots.map((shot) => client.send(shot))
    for (const barrier of [stops.arrivals, stops.handlers]) {
      await soon(barrier.full)
      await barrier.open(release, steps)
    }
    await Promise.all(answers)
  } finally {
    stops.stop()
  }
}

/** Waits for a promise, but not for ever. */
async function soon (promise: Promise<unknown>): Promise<void> {
  await within(PATIENCE, (done) => {
    promise.then(done)
    return () => {}
  })
}

function openable (): { readonly opened: Promise<void>, readonly open: () => void } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { opened, open }
}
