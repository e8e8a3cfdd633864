#!/usr/bin/env node
/**
 * The command `fastify-ctx`.
 *
 * @module fastify-ctx/cli
 */
import { main } from './testing/check/command.ts'

const code = await main(process.argv.slice(2), (text) => { console.log(text) })
// Exit, because an application may leave a timer or a connection open. Write all output first.
process.stdout.write('', () => { process.exit(code) })
