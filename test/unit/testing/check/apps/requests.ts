// A module of requests: functions, as for assertIsolated.
import type { MakeRequest } from '../../../../../lib/testing/sent-request.ts'

const list: MakeRequest[] = [(canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } })]
export default list
