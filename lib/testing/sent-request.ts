import type { OutgoingHttpHeaders } from 'node:http'
import { gate } from './gate.ts'

/** A request that `assertIsolated` fires. */
export interface IsolationRequest {
  /** Default `GET`. */
  readonly method?: string
  /** The path, with the query: `/orders?page=1`. */
  readonly url: string
  /** By name; a list where a header stands more than once. */
  readonly headers?: { readonly [name: string]: string | readonly string[] }
  /** A string or bytes are sent as they are; anything else as JSON. */
  readonly body?: unknown
}

/**
 * Makes a request that carries the canary it is given where the application takes a value from: a tenant header, a token, a part
 * of the path or the body. It may be async: to log in, or to create what the request asks for.
 */
export type MakeRequest = (canary: string) => IsolationRequest | Promise<IsolationRequest>

/** What came back. */
export interface Answer {
  readonly status: number
  /** As they came: a name may stand there more than once. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/** One request of a run: what the plan says of it, and what became of it. */
export class SentRequest {
  readonly number: number
  readonly canary: string
  readonly request: IsolationRequest
  /** Which of the functions made it. */
  readonly index: number
  /** The body in the pieces it is sent in; none where there is no body. */
  readonly pieces: readonly Buffer[]
  /** Whether the body has no length that is known before. */
  readonly chunked: boolean
  /** Milliseconds until what follows. */
  readonly wait: number
  /** Resolves once the server has its headers. */
  readonly arrived: Promise<void>
  readonly arrive: () => void
  hasArrived = false
  answer: Answer | undefined = undefined
  failure: unknown = undefined
  /** The pattern of its route, where the request had a scope. */
  route: string | undefined = undefined
  /** Whether its own canary was seen where another's would have been. */
  seen = false

  constructor (number: number, canary: string, request: IsolationRequest, index: number, sending: Pick<SentRequest, 'pieces' | 'chunked' | 'wait'>) {
    this.number = number
    this.canary = canary
    this.request = request
    this.index = index
    this.pieces = sending.pieces
    this.chunked = sending.chunked
    this.wait = sending.wait
    const { promise, open } = gate()
    this.arrived = promise
    this.arrive = () => {
      this.hasArrived = true
      open()
    }
  }

  get method (): string {
    return this.request.method?.toUpperCase() ?? 'GET'
  }
}

/** The bytes of a body. */
export function bytesOf (body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0)
  if (body instanceof Uint8Array) return Buffer.from(body)
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** The headers of a request, with the content type of a body that is sent as JSON. */
export function headersOf ({ headers = {}, body }: IsolationRequest): OutgoingHttpHeaders {
  const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)
  const isTyped = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
  // Node takes a list that is read-only as well.
  return { ...headers as OutgoingHttpHeaders, ...(isJson && !isTyped ? { 'content-type': 'application/json' } : {}) }
}
