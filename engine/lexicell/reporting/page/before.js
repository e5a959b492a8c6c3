'use strict';
// pub-sub-es opens a channel to other pages of the same origin; this page has nothing to tell them.
window.keptBroadcastChannel = window.BroadcastChannel;
window.BroadcastChannel = class {
  postMessage() {}
};
