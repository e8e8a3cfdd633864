// NestJS on Fastify in a separate process, because the loader of the test runner cannot load it on Node.js 20.
import 'reflect-metadata'
import { Controller, Get, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import Fastify from 'fastify'
import { ctx } from './context.ts'

const seen: string[][] = []
const see = (place: string, whose: unknown): void => { seen.push([place, String(whose), String(ctx.get('tenant'))]) }
const waiting: Array<() => void> = []
const meet = async (): Promise<void> => await new Promise((resolve) => {
  waiting.push(resolve)
  if (waiting.length === 2) for (const open of waiting.splice(0)) open()
})

class Orders { list (): string { return `orders of ${ctx.require('tenant')}` } } // no request is injected
Injectable()(Orders)
class OrdersController {
  readonly orders: Orders
  constructor (orders: Orders) { this.orders = orders }
  async list (): Promise<string> { await meet(); return this.orders.list() }
}
Controller('orders')(OrdersController)
Get()(OrdersController.prototype, 'list', Object.getOwnPropertyDescriptor(OrdersController.prototype, 'list')!)
Reflect.defineMetadata('design:paramtypes', [Orders], OrdersController)
class AppModule {}
Module({ controllers: [OrdersController], providers: [Orders] })(AppModule)

const fastify = Fastify()
await fastify.register(ctx.plugin) // before Nest adds its own hooks and routes
const nest = await NestFactory.create(AppModule, new FastifyAdapter(fastify as never), { logger: false })
nest.use((request: { headers: Record<string, unknown> }, _response: unknown, next: () => void) => { see('middleware', request.headers['x-tenant']); next() })
nest.useGlobalGuards({ canActivate: (context) => { see('guard', context.switchToHttp().getRequest<{ headers: Record<string, unknown> }>().headers['x-tenant']); return true } })

await nest.listen(0, '127.0.0.1')
const url = await nest.getUrl()
const answers = await Promise.all(['acme', 'globex'].map(async (tenant) => await (await fetch(`${url}/orders`, { headers: { 'x-tenant': tenant } })).text()))
await nest.close()
process.stdout.write(JSON.stringify({ answers, seen: seen.sort() }))
