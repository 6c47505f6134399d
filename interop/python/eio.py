"""An Engine.IO peer with Debian's python3-engineio: python3 eio.py. It takes the commands of eio-server.js and eio-client.js,
and reports the same events. The client upgrades before its open event.

The server sends all queued packets as one payload. Server and client accept payloads of at most 16 packets.
"""

import asyncio
import base64
import json
import sys

from aiohttp import web
import engineio

servers = {}
clients = {}


def report(**event):
    print(json.dumps(event), flush=True)


def data_of(command):
    if 'base64' in command:
        return base64.b64decode(command['base64'] or '')
    return command['text']


def message_of(data):
    if isinstance(data, bytes):
        return {'base64': base64.b64encode(data).decode()}
    return {'text': data}


async def listen(command):
    id = command['id']
    options = command.get('options') or {}
    app = web.Application()
    server = engineio.AsyncServer(
        async_mode='aiohttp', cors_allowed_origins='*',
        allow_upgrades='websocket' in options.get('transports', ['websocket']))
    server.attach(app)
    sessions = []

    async def burst(sid):
        wanted = command.get('burst')
        for n in range(wanted['count'] if wanted else 0):
            await server.send(sid, '%s-%d' % (wanted['prefix'], n))

    async def watch(sid):
        # The library has no event for an upgrade.
        while server.transport(sid) != 'websocket':
            await asyncio.sleep(0.005)
        report(id=id, event='upgrade', session=sessions.index(sid) + 1, transport='websocket')

    @server.on('connect')
    async def connect(sid, environ):
        sessions.append(sid)
        report(id=id, event='open', session=len(sessions), transport=server.transport(sid))
        server.start_background_task(burst, sid)
        if command.get('upgrade'):
            server.start_background_task(watch, sid)

    @server.on('message')
    async def message(sid, data):
        report(id=id, event='message', session=sessions.index(sid) + 1, **message_of(data))
        if command.get('echo'):
            await server.send(sid, data)

    @server.on('disconnect')
    async def disconnect(sid):
        report(id=id, event='closed', session=sessions.index(sid) + 1)

    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    servers[id] = (server, sessions, runner)
    report(id=id, event='listening', port=site._server.sockets[0].getsockname()[1])


async def dial(command):
    id = command['id']
    client = engineio.AsyncClient(handle_sigint=False)
    clients[id] = client

    @client.on('message')
    async def message(data):
        report(id=id, event='message', session=1, **message_of(data))

    @client.on('disconnect')
    async def disconnect():
        report(id=id, event='closed', session=1)

    try:
        await client.connect(command['url'], transports=command['options']['transports'],
                             engineio_path='engine.io')
    except Exception as error:
        report(id=id, event='error', session=1, error=repr(error))
        return
    report(id=id, event='open', session=1, transport=client.transport())
    if client.transport() == 'websocket':
        report(id=id, event='upgrade', session=1, transport='websocket')
    wanted = command.get('burst')
    for n in range(wanted['count'] if wanted else 0):
        await client.send('%s-%d' % (wanted['prefix'], n))


async def send(command):
    id = command['id']
    if id in clients:
        await clients[id].send(data_of(command))
    else:
        server, sessions, _ = servers[id]
        await server.send(sessions[command['session'] - 1], data_of(command))


async def close(command):
    id = command['id']
    if id in clients:
        await clients[id].disconnect()
    elif command.get('session'):
        server, sessions, _ = servers[id]
        await server.disconnect(sessions[command['session'] - 1])
    else:
        await servers.pop(id)[2].cleanup()


async def main():
    commands = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    report(event='ready')
    table = {'listen': listen, 'dial': dial, 'send': send, 'close': close}
    tasks = set()
    while line := await commands.readline():
        command = json.loads(line)
        if command['do'] == 'send':  # in order
            await send(command)
            continue
        task = asyncio.create_task(table[command['do']](command))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
