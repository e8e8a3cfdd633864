import { once } from 'node:events'
import { WebSocket } from 'ws'
import { canary } from '../integration/isolation/checker.ts'
import type { Shuffle } from '../integration/isolation/shuffle.ts'
import { headersOf } from './message.ts'
import type { Planned } from './shapes.ts'
import type { Tally } from './tally.ts'

/** Opens a websocket, exchanges messages, and closes it or just disconnects. */
export async function talk (origin: string, planned: Planned, tally: Tally, shuffle: Shuffle): Promise<void> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/websocket`, { headers: headersOf(planned).headers })
  await once(socket, 'open')
  const closed = once(socket, 'close')
  for (let i = 0; i < planned.parts; i++) {
    const answered = once(socket, 'message')
    socket.send(canary(planned.n, 'body'))
    const [data] = await answered
    tally.answer(planned.n, String(data), true)
    await shuffle.pause()
  }
  if (planned.abort === 'never') socket.close()
  else socket.terminate()
  await closed
}
