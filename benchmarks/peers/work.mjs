// The work that the service of each peer does, the same for all: only where the values come from differs.

/** What a request's user is, once he is known. */
const USER = { id: 'u1' }

/** Stands for an authentication. */
export function findUser (_request) {
  return USER
}

export function findTenant (request) {
  return request.headers['x-tenant-id']
}

/** One counter for all, so that no peer pays for ids of another kind. */
export function counter () {
  let last = 0
  return () => `req-${(++last).toString(36)}`
}

/** Where log lines go, and how many went there. */
export const lines = { count: 0, last: '', write (line) { lines.count++; lines.last = line } }

/** Requests that wait for this are held. */
export const gate = newGate()

function newGate () {
  let opened
  let promise
  const gate = {
    /** How many wait for it. */
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
 * The routes that are measured.
 *
 * @param read the id, tenant and user of the request that runs
 * @param log the logger of a module that knows no request
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
