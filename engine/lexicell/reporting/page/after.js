'use strict';
window.BroadcastChannel = window.keptBroadcastChannel;
delete window.keptBroadcastChannel;
