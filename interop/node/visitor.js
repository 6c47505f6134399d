'use strict'

// A visitor of pages in headless Chromium, each in a separate tab, by Playwright.
//
//   visit {url, options}   options are Playwright's options for a context. Response: visited
//   run {text}             the body of an async function, with the page as page. Response: ran {result}, or ran {error}
//
// Events: failed {error}, for each error that the page throws, each dialog, and each violation of its security policy.

const fs = require('fs')
const path = require('path')
const { chromium } = require('playwright-core')
const { report, serve } = require('./lines')

const PATIENCE = 15000 // milliseconds, less than the tests'
const pages = new Map()

const browser = chromium.launch({
  executablePath: process.env.PATH.split(path.delimiter).map(dir => path.join(dir, 'chromium')).find(fs.existsSync),
  chromiumSandbox: false,
  ignoreDefaultArgs: ['--disable-back-forward-cache'], // Chromium keeps pages that are left, as it does for its users
  args: ['--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
    '--host-resolver-rules=MAP *.example 127.0.0.1'] // as the owner of such a name can arrange
})

serve({
  visit ({ id, url, options }) {
    answer(id, 'visited', async function () {
      const context = await (await browser).newContext(options)
      const page = await context.newPage()
      page.setDefaultTimeout(PATIENCE)
      const fail = text => report({ id, event: 'failed', error: text })
      page.on('pageerror', error => fail(error.message))
      page.on('dialog', dialog => fail('a dialog: ' + dialog.message()))
      page.on('console', message => /Content Security Policy/.test(message.text()) && fail(message.text()))
      pages.set(id, page)
      await page.goto(url)
    })
  },

  run ({ id, text }) {
    answer(id, 'ran', () => new Function('page', 'return (async () => {' + text + '})()')(pages.get(id)))
  }
})

function answer (id, event, fn) {
  fn().then(result => report({ id, event, result }), error => report({ id, event, error: error.message }))
}
