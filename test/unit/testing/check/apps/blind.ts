// An application that shows nothing of what it is sent.
import Fastify from 'fastify'

export const app = Fastify()
app.get('/:id', async () => 'ok')
