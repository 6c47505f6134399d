// The page of a hub. It is an ordinary client of the mesh. Each part has its own file.

import { connect } from '../mesh.mjs'
import { hub } from './hub.js'
import { $ } from './dom.js'
import { followState } from './state.js'
import { followNodes } from './nodes.js'
import { drawStar } from './star.js'
import { drawCrowd } from './crowd.js'
import { countRates } from './rates.js'
import { findNodes } from './find.js'
import { showList } from './list.js'
import { filter, showStream } from './stream.js'
import { startEmit } from './emit.js'
import { startExplain } from './explain.js'
import { showCode } from './code.js'

if (hub.error) {
  $('state').dataset.status = 'disconnected'
  $('state').textContent = 'Not connected'
  $('detail').textContent = hub.error
} else {
  const client = connect({ url: hub.url.href, name: 'page' })
  followState(client)
  const nodes = followNodes(client)
  const star = drawStar(nodes, filter)
  const rates = countRates()
  drawCrowd(nodes, rates, filter)
  showList(nodes)
  showStream(client, nodes, star, rates)
  startEmit(client)
  const explain = startExplain(client, nodes)
  findNodes(nodes, { explain, filter })
  showCode(client)
}
