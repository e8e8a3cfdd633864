// A thread of the pool runs this for each task, in the scope of the request that sent it.
import { carried } from 'fastify-ctx/worker'
import { pino } from 'pino'
import { ctx } from './context.ts'

// Synchronous, because a terminated thread loses log lines that are not written yet.
const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false }, pino.destination({ dest: 1, sync: true }))

export default carried(ctx, async ({ month }: { readonly month: string }) => {
  logger.info('written in a thread')
  await new Promise((resolve) => { setTimeout(resolve, 10) }) // meanwhile it works on other requests
  return `report ${month} of ${ctx.require('tenant')}, with ${ctx.has('token') ? 'a' : 'no'} token`
})
