import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { Lines, listen } from '../../support/support.ts'

t.test('log', async (t) => {
  const own = createContext({ tenant: key<string>({ log: true }) })
  t.doesNotThrow(() => { own.log.info('nobody hears') })
  t.equal(own.log, own.log, 'there is one silent logger')
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(own.plugin)
  app.get('/', async (request) => {
    own.run({ tenant: 'inner' }, () => { own.log.info('within') })
    return { same: own.log === request.log, within: own.run({}, () => own.log === request.log) }
  })
  const { url } = await listen(t, app)
  own.log.info('outside')
  own.run({ tenant: 'job' }, () => { own.log.info('job') })
  t.same(await (await fetch(url)).json(), { same: true, within: true })
  t.equal(lines.one('within').tenant, 'inner')
  t.equal(lines.one('job').tenant, 'job')
  t.notOk('tenant' in lines.one('outside'))
})
