// The work of each peer's service, the same for all. Only the source of the values differs.

/** The user of a request, once known. */
const USER = { id: 'u1' }

/** Stands for an authentication. */
export function findUser (_request) {
  return USER
}

export function findTenant (request) {
  return request.headers['x-tenant-id']
}

/** One counter for all, so that all peers use the same kind of id. */
export function counter () {
  let last = 0
  return () => `req-${(++last).toString(36)}`
}

/** The destination of log lines, and how many it received. */
export const lines = { count: 0, last: '', write (line) { lines.count++; lines.last = line } }

/** Holds the requests that wait for it. */
export const gate = newGate()

function newGate () {
  let opened
  let promise
  const gate = {
    /** How many requests wait for it. */
    waiting: 0,
    close () { promise = new Promise((resolve) => { opened = resolve }) },
    open () {
      opened()
      gate.waiting = 0
    },
    passed () {
      gate.waiting++
      return promise
    }
  }
  gate.close()
  return gate
}

async function step () {}

/**
 * The measured routes.
 *
 * @param read returns the id, tenant and user of the current request
 * @param log the logger of a module without access to the request
 */
export function addRoutes (app, read, log) {
  const readThrice = async (request) => {
    read(request)
    read(request)
    return read(request)
  }
  app.get('/', readThrice)
  app.post('/', readThrice)
  for (const count of [3, 10]) {
    app.get(`/lines/${count}`, async (request) => {
      for (let i = 0; i < count; i++) {
        if (i % 2 === 0) request.log.info('of the request')
        else log.info('of a module')
      }
      return read(request)
    })
  }
  app.get('/awaits', async (request) => {
    for (let i = 0; i < 20; i++) await step()
    return read(request)
  })
  app.get('/held', async (request) => {
    await gate.passed()
    return read(request)
  })
}
