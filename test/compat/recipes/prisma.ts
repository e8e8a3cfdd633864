// A stand-in for Prisma's client, whose engine is generated and downloaded per project. Like Prisma it
// - reports queries by events, which its engine emits in the scope of the first query: that query started it;
// - sends a query only when it is awaited;
// - calls `$allOperations` of an extension around each query, as part of that query.
import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'

export interface Operation {
  readonly model: string
  readonly operation: string
  readonly args: unknown
  readonly query: (args: unknown) => Promise<unknown>
}

interface Extension { readonly query: { $allOperations (operation: Operation): Promise<unknown> } }

export class PrismaClient {
  readonly #events = new EventEmitter()
  #engine: ((event: { readonly params: unknown }) => void) | undefined
  #around: Extension['query']['$allOperations'] = ({ args, query }) => query(args)

  readonly note = {
    findMany: (args: unknown): PromiseLike<unknown> => ({
      // A query is sent when it is awaited.
      then: (resolve, reject) => this.#around({ model: 'Note', operation: 'findMany', args, query: (args) => this.#send(args) }).then(resolve, reject)
    })
  }

  $on (_event: 'query', listener: (event: { readonly params: unknown }) => void): void {
    this.#events.on('query', listener)
  }

  $extends ({ query }: Extension): this {
    this.#around = query.$allOperations
    return this
  }

  async #send (params: unknown): Promise<unknown> {
    // Like a native engine, it calls back in the async context in which it was started, for every query.
    this.#engine ??= AsyncResource.bind((event: { readonly params: unknown }) => { this.#events.emit('query', event) })
    await new Promise((resolve) => { setImmediate(resolve) })
    this.#engine({ params })
    return params
  }
}
