// A host of apps made of the official bridge: what it hears from the app is kept for the test to look at.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

window.open_app = async (html, { context, capabilities, picture, sandbox }) => {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", sandbox);
  frame.style.cssText = "width: 1240px; height: 860px; border: 0";
  document.body.replaceChildren(frame);
  const host = { frame, sizes: [], reads: [], calls: [], picture, fault: null };
  const bridge = new AppBridge(null, { name: "test", version: "1" }, capabilities, { hostContext: context });
  bridge.onreadresource = async ({ uri }) => {
    host.reads.push(uri);
    if (host.fault) throw new Error(host.fault);
    if (host.reads.length > 1 && !host.news) await new Promise((done) => { host.tell = done; });
    host.news = false;
    return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify(host.picture) }] };
  };
  bridge.oncalltool = async (params) => {
    host.calls.push(params);
    return host.answer || { content: [{ type: "text", text: "ok" }] };
  };
  bridge.onsizechange = (size) => host.sizes.push(size);
  const ready = new Promise((done) => { bridge.oninitialized = () => done(); });
  const loaded = new Promise((done) => { frame.onload = done; });
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html;
  await loaded;
  await ready;
  window.host = Object.assign(host, { bridge });
  return bridge.getAppVersion();
};
