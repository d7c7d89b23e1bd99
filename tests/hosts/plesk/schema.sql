-- The tables of Plesk's database that harden-mail knows of, after what has been published of them.
CREATE DATABASE psa CHARACTER SET utf8mb4;
USE psa;

CREATE TABLE misc (
    param varchar(255) NOT NULL PRIMARY KEY,
    val varchar(255)
);
-- Mail relaying after authorization by SMTP; the flags are inverted, and what was never set is not there.
INSERT INTO misc VALUES
    ('version', '018000'), ('relay', 'auth'), ('disable_pop_auth', 'true'), ('disable_smtp_auth', NULL),
    ('poplock_time', '30'), ('message_submission', 'true');

CREATE TABLE smtp_poplocks (
    ip_address varchar(15) NOT NULL,
    ip_mask int NOT NULL DEFAULT 32,
    lock_time datetime,
    PRIMARY KEY (ip_address, ip_mask)
);

CREATE TABLE domains (
    id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(255) NOT NULL UNIQUE,
    -- 0: active
    status bigint unsigned NOT NULL DEFAULT 0
);

CREATE TABLE accounts (
    id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    type varchar(16) NOT NULL DEFAULT 'plain',
    password text
);

CREATE TABLE mail (
    id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
    mail_name varchar(245) NOT NULL,
    postbox enum('true', 'false') NOT NULL DEFAULT 'false',
    account_id int unsigned NOT NULL,
    dom_id int unsigned NOT NULL,
    UNIQUE KEY (dom_id, mail_name)
);

CREATE TABLE ListsParams (
    user_id int unsigned NOT NULL DEFAULT 0,
    user_type varchar(32) NOT NULL DEFAULT '',
    parentList_id int unsigned NOT NULL DEFAULT 0,
    list_name varchar(64) NOT NULL DEFAULT '',
    flags varchar(255),
    sort varchar(255),
    filter varchar(255),
    page int unsigned NOT NULL DEFAULT 0,
    page_size int unsigned NOT NULL DEFAULT 25,
    PRIMARY KEY (user_id, user_type, parentList_id, list_name)
);
-- After "all" was chosen on the queue's page.
INSERT INTO ListsParams (user_id, user_type, list_name, page_size) VALUES (1, 'admin', 'mailqueuelist', 999999);
