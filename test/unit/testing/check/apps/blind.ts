// An application that returns nothing of what it receives.
import Fastify from 'fastify'

export const app = Fastify()
app.get('/:id', async () => 'ok')
