// The load over sockets, in a separate process, so that the server's CPU time contains only the server. Its parent sends what to do: this many requests, over
// this many keep-alive connections with one request at a time on each, or all at once.
import { once } from 'node:events'
import { connect } from 'node:net'

/** How each response begins. */
const OK = 'HTTP/1.1 200 '

/** The open connections, by port. */
const open = new Map()

process.on('message', async ({ port, method, path, count, connections, pipelined }) => {
  try {
    await (pipelined ? sendAtOnce : send)(await connected(port, connections), request(method, path), count)
    process.send({ done: true })
  } catch (error) {
    process.send({ error: error.message })
  }
})

async function connected (port, connections) {
  const sockets = open.get(port) ?? []
  open.set(port, sockets)
  while (sockets.length < connections) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    sockets.push(socket)
  }
  return sockets.slice(0, connections)
}

function request (method, path) {
  const head = `${method} ${path} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\n`
  const body = '{"a":1}'
  return method === 'GET' ? `${head}\r\n` : `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

async function send (sockets, message, count) {
  let left = count
  await Promise.all(sockets.map((socket) => new Promise((resolve, reject) => {
    let received = ''
    socket.on('data', take)
    socket.once('error', reject)
    next()

    function next () {
      if (left-- > 0) return socket.write(message)
      socket.off('data', take)
      socket.off('error', reject)
      resolve()
    }

    function take (part) {
      received += part.toString('latin1')
      if (!isWhole(received)) return
      if (!received.startsWith(OK)) reject(new Error(received))
      received = ''
      next()
    }
  })))
}

/** Sends all requests without waiting for a response, without a connection for each. */
async function sendAtOnce (sockets, message, count) {
  await Promise.all(sockets.map((socket, i) => new Promise((resolve, reject) => {
    const share = Math.floor((count + i) / sockets.length)
    let answers = 0
    let rest = ''
    const take = (part) => {
      const parts = (rest + part.toString('latin1')).split(OK)
      answers += parts.length - 1
      // A response may begin at the end of one part.
      rest = parts.at(-1).slice(1 - OK.length)
      if (answers < share) return
      socket.off('data', take)
      socket.off('error', reject)
      resolve()
    }
    socket.on('data', take)
    socket.once('error', reject)
    if (share === 0) take('')
    else socket.write(message.repeat(share))
  })))
}

function isWhole (answer) {
  const end = answer.indexOf('\r\n\r\n')
  if (end === -1) return false
  const length = /content-length: (\d+)/i.exec(answer)?.[1]
  return length !== undefined && answer.length >= end + 4 + Number(length)
}
