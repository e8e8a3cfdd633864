// Stands in for Prisma's client, whose engine is generated and downloaded for each project. Like Prisma it
// - tells of queries by events, which its engine emits: where the engine runs is where it was started, by the first query;
// - sends a query only when somebody awaits it;
// - calls `$allOperations` of an extension around each query, as part of that.
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
      // A query goes out when it is awaited.
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
    // As a native engine calls back: in the asynchronous scope that it was started in, whosever query it is.
    this.#engine ??= AsyncResource.bind((event: { readonly params: unknown }) => { this.#events.emit('query', event) })
    await new Promise((resolve) => { setImmediate(resolve) })
    this.#engine({ params })
    return params
  }
}
