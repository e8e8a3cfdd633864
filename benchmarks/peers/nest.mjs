// NestJS on Fastify without a context, as the base of nestjs-cls. Decorators are called as functions.
import 'reflect-metadata'
import { Controller, Get, HttpCode, Module, Post, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { counter, findTenant, findUser } from './work.mjs'

export async function start () {
  return await startNest((request) => ({ id: request.id, tenant: findTenant(request), user: findUser(request) }), [])
}

/** The same routes as those of the other peers, as a controller. */
export async function startNest (read, imports) {
  class Routes {
    async readThrice (request) {
      read(request)
      read(request)
      return read(request)
    }

    async readThriceOnPost (request) {
      return await this.readThrice(request)
    }
  }
  Controller()(Routes)
  decorate(Routes, 'readThrice', Get())
  decorate(Routes, 'readThriceOnPost', Post(), HttpCode(200))
  class Service {}
  Module({ imports, controllers: [Routes] })(Service)

  const nest = await NestFactory.create(Service, new FastifyAdapter({ genReqId: counter() }), { logger: false })
  await nest.init()
  const app = nest.getHttpAdapter().getInstance()
  await app.ready()
  return app
}

function decorate ({ prototype }, name, ...decorators) {
  for (const decorator of decorators) decorator(prototype, name, Object.getOwnPropertyDescriptor(prototype, name))
  Req()(prototype, name, 0)
}
