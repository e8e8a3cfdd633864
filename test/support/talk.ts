import { once } from 'node:events'
import { WebSocket } from 'ws'

/** A conversation over a websocket. */
export interface Conversation {
  readonly headers: Readonly<Record<string, string>>
  /** The messages to send. Each waits for the answer to the one before. */
  readonly messages: readonly string[]
  /** Whether the client disconnects at the end without closing the websocket. */
  readonly leaves: boolean
}

/** Opens a websocket, sends messages, passes each answer on, and closes it or just disconnects. */
export async function talk (url: string, { headers, messages, leaves }: Conversation, heard: (answer: string) => Promise<void>): Promise<void> {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers })
  await once(socket, 'open')
  const closed = once(socket, 'close')
  for (const message of messages) {
    const answered = once(socket, 'message')
    socket.send(message)
    const [data] = await answered
    await heard(String(data))
  }
  if (leaves) socket.terminate()
  else socket.close()
  await closed
}
