#!/usr/bin/env node
/**
 * The command `fastify-ctx`.
 *
 * @module fastify-ctx/cli
 */
import { main } from './testing/check/command.ts'

const code = await main(process.argv.slice(2), (text) => { console.log(text) })
// An application may leave a timer or a connection behind. What was printed is out first.
process.stdout.write('', () => { process.exit(code) })
